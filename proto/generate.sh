#!/bin/sh
# Writes the Go code of sparkplug_b.proto into a folder (default sparkplugpb). go generate runs it in proto/.
set -eu
out=${1:-sparkplugpb}
file=$out/sparkplug_b.pb.go
protoc --plugin=protoc-gen-go="$(go tool -n protoc-gen-go)" --go_out="$out" --go_opt=paths=source_relative sparkplug_b.proto
# The line that names protoc's release goes, so that every release gives the same file.
sed '/^\/\/ 	protoc  *v/d; /^\/\/ - protoc  *v/d' "$file" >"$file.new"
mv "$file.new" "$file"
