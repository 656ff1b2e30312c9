"""Prototype images and retrieval: which crystal an image shows, along which direction.

Crystals come from `sources`; what each shows along its low-index directions is a `View`
(`views`); what is compared first is the spectrum of an image (`spectra`); the library
on disk is `store`, made by `build`; a query is answered by `search`, which lays entries
over the image (`alignment`); `answers` draws the best few, scores them (`scores`) and
puts them in order; `verdict` says whether the first one fits; `motifs` tells which
neighbourhoods two images share.
"""
