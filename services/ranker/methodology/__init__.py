"""How evidence becomes scores: `v1.yaml` says what counts, these modules do the arithmetic.

    definition    the methodology as frozen values, checked when it is read
    load          reads `v1.yaml`; its digest is in every reply
    readings      evidence -> the values of the predeclared metrics
    components    readings -> quality, ecosystem, match graph, freshness, adoption
    score         components -> a score with low, point, high and coverage
    reliability   verdicts -> how far a page's statements can be believed
    separation    two scores -> which is better, or what would tell
    published     what a page's printed parts say of the score that it printed
    beta          quantiles of the Beta distribution

Everything but `load` (PyYAML) and `beta` (SciPy) is pure: standard library and `services.errors`.
"""
