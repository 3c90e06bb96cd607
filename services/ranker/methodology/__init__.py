"""How evidence becomes scores and places: `v2.yaml` says what counts, these modules compute.

    definition    the methodology as frozen values, checked when it is read
    load          reads `v2.yaml`; its digest is in every reply
    readings      evidence -> the values of the predeclared metrics, as utilities
    profile       which metrics rank together, by which weights
    score         readings -> a score in a profile, and what is shown beside it
    separation    two artifacts -> which is better, profile by profile, or what would tell
    ranking       artifacts of one type -> their places in a profile
    explain       a score as the sum that it is
    reliability   verdicts -> how far a page's statements can be believed
    published     what a page's printed parts say of the score that it printed

Everything but `load` is pure; `definition` needs pydantic. The statistics are those of
`services.common.statistics`.
"""
