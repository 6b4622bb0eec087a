"""The only room that knows Ray, in the order of what knows what.

Here are a cluster's session, its places and calls to its actors; `engines` answer and judge; `workers` train; the `hub` joins them; `tune`
proposes trials to it; `runs` are whole commands. `checks` look a cluster over and `submit` sends jobs to one.
"""
