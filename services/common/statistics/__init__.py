"""Statistics of the product. Pure: the standard library, and numpy where arrays are long.

An interval covers at the level that it states, or `TooFewError` says how much it takes.

    interval          the one interval, its kinds, quotients and hulls
    incomplete_beta   the function that Student's t and the beta distribution need
    distributions     quantiles and tails
    estimate          a value with its variance; weighted sums
    student           intervals of an estimate: Student's, and one that allows for skewness
    means             of a mean, whatever the distribution
    medians           of a median, by order statistics
    shares            Clopper and Pearson's interval, and the beta posterior
    reliability       how far a page can be believed
    outcomes          what operators report

    samples/          bits per byte from a sample of a corpus
      spans           the pieces of a document that bits per byte is sampled by
      sampling        a sample of a corpus by its bytes, in one pass
      levels          bits per byte of these documents, and differences of two models
      behind          the same of the corpus that the documents are a sample of
    speed/            times of runs
      restarts        what a benchmark records of a restart, and whether the machine was its own
      timing          how long a run takes, from clean restarts
      speed_ratios    of two models' times, and of batches
    ranking/          several artifacts side by side
      normal_range    how far apart several normal values are
      family          the level that artifacts are compared at
      separation      which of two artifacts is better under every weighting
      rank_sets       the places of a list that a caller named
"""
