// Prints what each message in hexadecimal says.
package main

import (
	corpusv1 "assay/corpus/v1"
	"encoding/hex"
	"fmt"
	"os"

	"google.golang.org/protobuf/proto"
)

func main() {
	for _, given := range os.Args[1:] {
		data, err := hex.DecodeString(given)
		if err != nil {
			panic(err)
		}
		var score corpusv1.BitsPerByte
		if err := proto.Unmarshal(data, &score); err != nil {
			panic(err)
		}
		if score.BitsPerByte == nil {
			fmt.Println(score.Documents, "absent")
		} else {
			fmt.Printf("%d %.2f\n", score.Documents, *score.BitsPerByte)
		}
	}
}
