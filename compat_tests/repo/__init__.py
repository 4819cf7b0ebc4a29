"""Tests of the repository itself: documents that match the code, a clean wheel, enforced layers."""
