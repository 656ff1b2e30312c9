"""What a person sees of a run: progress, status, results, figures."""
