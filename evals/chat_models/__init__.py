"""Language models that can be asked: served over HTTP, run in this process, remembered, or replayed."""
