"""How evidence becomes scores: `v1.yaml` says what counts, these modules do the arithmetic.

    definition    the methodology as frozen values, checked when it is read
    load          reads `v1.yaml`; its digest is in every reply
    readings      evidence -> the values of the predeclared metrics
    score         readings -> quality, ecosystem, match graph, freshness, adoption -> a score
    reliability   verdicts -> how far a page's statements can be believed
    separation    two scores -> which is better, or what would tell
    published     what a page's printed parts say of the score that it printed
    beta          quantiles of the Beta distribution

Everything but `load` is pure; `definition` needs pydantic.
"""
