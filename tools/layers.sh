#!/usr/bin/env bash
# layers.sh - Checks that every #include of src/ follows the file LAYERS.
#
# An include of another folder must be listed there; a sealed folder is seen only through
# FOLDER/FOLDER.h; NAME_int.h never leaves its folder; nothing climbs with "../".
set -u
cd "$(dirname "$0")/.."
awk '
  FILENAME == "LAYERS" {
    sub(/#.*/, "")
    if (NF == 0) next
    folder = $1; sub(/:$/, "", folder); known[folder] = 1; allowed[folder, folder] = 1
    for (i = 2; i <= NF; i++) if ($i == "sealed") sealed[folder] = 1; else allowed[folder, $i] = 1
    next
  }
  /^[ \t]*#[ \t]*include[ \t]+"/ {
    split(FILENAME, part, "/"); from = part[2]
    name = $0; sub(/^[^"]*"/, "", name); sub(/".*/, "", name)
    where = FILENAME ":" FNR ": "
    if (name ~ /\.\.\//) { print where "includes climb: " name; bad = 1; next }
    n = split(name, to, "/")
    if (n == 1) {
      if (name != "sluice.h") { print where "write \"folder/file.h\": " name; bad = 1 }
      next
    }
    if (!(from in known)) { print where "folder " from " is not in LAYERS"; bad = 1; next }
    if (!((from, to[1]) in allowed)) { print where from " may not include " to[1] " (LAYERS): " name; bad = 1; next }
    if (to[1] != from && name ~ /_int\.h$/) { print where "an _int.h stays in its folder: " name; bad = 1 }
    if (to[1] != from && (to[1] in sealed) && name != to[1] "/" to[1] ".h") {
      print where to[1] " is sealed, include " to[1] "/" to[1] ".h instead of " name; bad = 1 }
  }
  END { exit bad }
' LAYERS $(find src -name '*.[ch]' | sort)
