"""The Python interface: what `import autoloop` offers, for scripts and notebooks.

Objects that people hold: a campaign, a run, its finalists, a session of ask and tell;
and the analysis of single images as functions. What they do is done in the rooms below;
like `cli`, this one turns arguments into calls and results into something to look at.
"""
