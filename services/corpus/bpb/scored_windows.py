"""How a document longer than a model's window is cut for scoring.

`rolling_windows` scores every token exactly once. `guide_windows`, of Hugging Face's guide to
perplexity, and `packed_windows`, of Levanter's evaluator, do not, and exist for comparison only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """One call of the model.

    `inputs` are the token ids that it reads. `targets` are the ids that it predicts at the last
    `len(targets)` positions of `inputs`: targets[-1] follows inputs[-1]. `counted` is the number of
    tokens that the targets count as; each likelihood is scaled by counted / len(targets).
    """

    inputs: Sequence[int]
    targets: Sequence[int]
    counted: int = -1

    def __post_init__(self) -> None:
        if self.counted < 0:
            object.__setattr__(self, "counted", len(self.targets))


def rolling_windows(
    tokens: Sequence[int],
    prefix: int | None,
    max_length: int,
    context_length: int = 1,
    *,
    prefix_everywhere: bool = False,
    filled_up: bool = True,
) -> Iterator[Window]:
    """Cut `tokens` into windows that score each of them once; none when there are no tokens.

    L is `max_length`, the longest input, and c is `context_length`, the tokens of context that each
    window after the first keeps, 1 <= c <= L. p is `prefix`, the id of the token before the first
    one. Ten tokens with L = 4 and c = 1:

        tokens           p 0 1 2 3 4 5 6 7 8 9
        first   reads    p 0 1 2
                scores     0 1 2 3
        second  reads            3 4 5 6
                scores             4 5 6 7
        last    reads                5 6 7 8        filled up from the back
                scores                     8 9

    A window after the first scores L - c + 1 tokens, or those that are left, and reads the L tokens
    before the last of them. c = 1 is lm-evaluation-harness's `loglikelihood_rolling`, c = L / 2 the
    Pile paper's. Without a prefix the first token is not scored, and the first window reads the L
    tokens from it on.

    With `prefix_everywhere` the prefix takes the place of the first token that each later window
    reads, as models want that were only trained on sequences which begin with it (Gemma). Without
    `filled_up` the last window reads no more than `context_length` tokens and those that it scores,
    as Paloma's does.

    Raises ValueError for another c, and for `prefix_everywhere` without a prefix.
    """
    if not 1 <= context_length <= max_length:
        raise ValueError(f"context_length is {context_length}, must be 1 to {max_length}")
    if prefix is None:
        if prefix_everywhere:
            raise ValueError("prefix_everywhere needs a prefix")
        tokens, prefix = tokens[1:], tokens[0] if tokens else 0
    if not tokens:
        return
    first = min(max_length, len(tokens))
    yield Window([prefix, *tokens[: first - 1]], tokens[:first])
    done = first
    while done < len(tokens):
        width = min(max_length - context_length + 1, len(tokens) - done)
        end = done + width
        begin = end - max_length - 1 if filled_up else done - context_length
        inputs = tokens[begin : end - 1]
        if prefix_everywhere:
            inputs = [prefix, *inputs[1:]]
        yield Window(inputs, tokens[done:end])
        done = end


def guide_windows(tokens: Sequence[int], max_length: int, stride: int) -> Iterator[Window]:
    """Cut `tokens` as Hugging Face's guide, "Perplexity of fixed-length models", does.

    A window is `max_length` tokens from every `stride`-th one on, 1 <= stride < max_length, scores
    those that none before it had, and the last one is as short as what is left. Two faults:

    * There is no prefix, so the first token is never scored.
    * The mean likelihood of a window counts for one token less than it scores. That is right for
      the first window, whose first label is shifted out of sight, and wrong for every later one:
      a last window of one token does not count at all.
    """
    if not 1 <= stride < max_length:
        raise ValueError(f"stride is {stride}, must be 1 to {max_length - 1}")
    done = 1
    for begin in range(0, len(tokens), stride):
        end = min(begin + max_length, len(tokens))
        if end > done:
            new = end - done
            yield Window(tokens[begin : end - 1], tokens[done:end], new if begin == 0 else new - 1)
            done = end
        if end == len(tokens):
            return


def packed_windows(tokens: Sequence[int], prefix: int | None, max_length: int) -> Iterator[Window]:
    """Cut the prefix and `tokens` as Levanter's evaluator cuts a stream of documents.

    Windows of `max_length` tokens share none, and the first token of each is read and not scored:
    `unscored` says which. Levanter's stream goes on from one document to the next, and scores the
    end of sequence between them; here it is one document.
    """
    stream = tokens if prefix is None else [prefix, *tokens]
    for begin in range(0, len(stream), max_length):
        window = stream[begin : begin + max_length]
        if len(window) > 1:
            yield Window(window[:-1], window[1:])


def unscored(count: int, prefix: int | None, max_length: int) -> range:
    """Return which of `count` tokens `packed_windows` does not score."""
    return range(0 if prefix is None else max_length - 1, count, max_length)
