"""The ``searchmesh`` command. Modules import what is heavy inside the commands, so that ``--help`` is quick."""
