"""What no schema can tell schemathesis."""

import schemathesis

# Chance finds no app and no template of the configuration; with these in their place half of the good requests go all the way.
KNOWN = {
    "app": "coffee",
    "template": "event-start",
    "data": {"thing1": "周三读书会", "time2": "2031年3月1日 19:30", "thing5": "三楼301室"},
    "at": "2031-03-01T19:30",
    "expires_at": "2h",
    "results": {"event-start": "accept"},
}


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.operation.label == "DELETE /v1/keys/{id}" and str(case.path_parameters.get("id")) == "1":
        case.path_parameters["id"] = 2  # The first key is the one that it asks with.
    good = case.meta is not None and case.meta.generation.mode.is_positive
    for values in (case.query, case.body):
        if good and isinstance(values, dict) and len(repr(values)) % 2:
            values.update((name, value) for name, value in KNOWN.items() if name in values)
            if "results" in values:
                values.pop("at", None)  # A tap lies in the past.
