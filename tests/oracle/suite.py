"""suite.py - Lay the official JSON-Schema-Test-Suite out for our runner: suite.py SDIST OUT

The suite travels in the source package of Python's `jsonschema`.  Left out are what is an annotation here
(formats that are not asserted, vocabularies); marked are schemas that may be refused: those that refer to
other documents, or to a $dynamicAnchor that must be chosen at run time."""
import json, os, sys, tarfile

LEFT_OUT = {"format.json", "vocabulary.json", "optional/format/iri.json", "optional/format/iri-reference.json",
            "optional/format/idn-email.json", "optional/format/idn-hostname.json", "optional/format/uri-template.json"}


def refers_out(schema):
    if isinstance(schema, dict):
        ref = schema.get("$ref")
        return (isinstance(ref, str) and not ref.startswith("#")) or "$dynamicRef" in schema or any(map(refers_out, schema.values()))
    return isinstance(schema, list) and any(map(refers_out, schema))


sdist, out = sys.argv[1:]
os.makedirs(out, exist_ok=True)
n = 0
with tarfile.open(sdist) as tar:
    for member in tar.getmembers():
        name = member.name.partition("/json/tests/draft2020-12/")[2]
        if not name.endswith(".json") or name in LEFT_OUT:
            continue
        groups = json.load(tar.extractfile(member))
        for g in groups:
            g["may_be_refused"] = refers_out(g["schema"])
        with open(os.path.join(out, name.replace("/", "_")), "w") as f:
            json.dump(groups, f)
        n += 1
sys.exit(0 if n > 50 else "the package has no suite")
