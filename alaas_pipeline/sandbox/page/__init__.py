"""The pages under ``/_sandbox/``, on which a person sees what there is and labels by clicking."""
