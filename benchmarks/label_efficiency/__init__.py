"""How many labels a selection needs: ours beside its peers, on real pictures. See `__main__`."""
