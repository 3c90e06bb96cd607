import assay.corpus.v1.BitsPerByte;
import java.util.HexFormat;
import java.util.Locale;

/** Prints what each message in hexadecimal says. */
public final class Main {
  public static void main(String[] arguments) throws Exception {
    for (String given : arguments) {
      BitsPerByte score = BitsPerByte.parseFrom(HexFormat.of().parseHex(given));
      String figure =
          score.hasBitsPerByte()
              ? String.format(Locale.ROOT, "%.2f", score.getBitsPerByte())
              : "absent";
      System.out.println(score.getDocuments() + " " + figure);
    }
  }
}
