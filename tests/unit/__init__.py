"""Tests of one part without servers, in the folders of what they test; house/ is about the tree itself."""
