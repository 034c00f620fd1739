"""`make bench`: how fast Candlewick is, beside its peers, in one run. Nothing in the pipeline imports this."""
