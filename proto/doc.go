// Package proto holds the schema of the Sparkplug B payload; its generated Go code is in sparkplugpb.
//
//	sparkplug_b.proto ─► go generate ./proto ─► sparkplugpb/sparkplug_b.pb.go   (committed, never edited)
//
// `go generate ./proto` needs protoc on PATH (Debian: apt-get install protobuf-compiler). The Go plugin is
// the version that go.mod pins, run by `go tool`, so the result depends on no other installed program;
// the header's protoc version line is removed, so that it does not depend on protoc's release either.
//
// Nothing runs here. The rule that must not break: a test regenerates the code and compares it.
//
// Sources: Sparkplug 3.0, chapter 6 (payloads).
package proto

//go:generate sh generate.sh
