"""Tests of the tests: bugs are planted in a copy of the tree, and the suite must notice."""
