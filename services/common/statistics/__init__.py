"""Statistics of the product. Pure: uses the standard library, and numpy for long arrays.

An interval covers at its stated level; if the data are too few, `TooFewError` says how many it
takes.

    interval          the type of every interval, its kinds, quotients and hulls
    incomplete_beta   the function that Student's t and the beta distribution need
    distributions     quantiles and tails
    estimate          a value with its variance; weighted sums
    student           intervals of an estimate: Student's, and one that allows for skewness
    means             the interval of a mean, whatever the distribution
    medians           the interval of a median, by order statistics
    shares            Clopper and Pearson's interval, and the beta posterior
    reliability       how far a page can be believed
    outcomes          what operators report

    samples/          bits per byte from a sample of a corpus
      spans           the pieces of a document that are sampled
      sampling        a sample of a corpus by its bytes, in one pass
      levels          bits per byte of these documents, and differences of two models
      behind          the same for the corpus that the documents were sampled from
    speed/            times of runs
      restarts        what a benchmark records of a restart, and whether the machine was its own
      timing          how long a run takes, from clean restarts
      speed_ratios    of two models' times, and of batches
    ranking/          several artifacts side by side
      normal_range    how far apart several normal values are
      family          the level of intervals for comparing artifacts
      separation      which of two artifacts is better under every weighting
      rank_sets       the places in a list that a caller named
"""
