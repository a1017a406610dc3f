// Command edge is a Sparkplug-aware industrial edge appliance in one binary: an MQTT broker for the
// plant, a Sparkplug host, a historian, a local page, and store-and-forward to the enterprise broker.
//
//	main ─► subcommand ─► App ─► pipeline: server ─► router ─► plant ─► journal ─┬─► historian ─► ui
//	                                                          └─► ui (live)     └─► uplinks
//
// It is the only place that knows every part. main.go holds flags, signals and exit codes; config*.go the one file;
// app.go the App that the end-to-end tests start too; pipeline.go joins the parts in the order of the picture;
// plant.go and record.go turn a message into a step of the host and its records into the journal's; stages.go
// starts the parts from the right and stops them from the left. Each further subcommand is a file.
//
// The rule that must not break: nobody gets a message after it was told to end, and what was acknowledged is on disk.
//
// Goroutines: App.Run starts one for each stage (listeners and server, host, one for each uplink, page, historian,
// sessions, journal) and ends when all did, or names the one that did not within ten seconds; the host's stage has one
// more, seedValues, that it waits for. `edge run` adds reloadOnHangup and tellManager, `edge demo` the stages of the
// plant, the SCADA and the enterprise broker. Locks: plant.mu is held for one step of the host and its append, and
// nothing is called under it that could wait.
package main
