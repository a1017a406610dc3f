// Package brokertest holds what tests of the broker share: a client that speaks raw packets, conversations
// written as scripts, connections that fail, a store that fails.
//
//	testdata/*.txt ─► Run ─► Client ─► connection (net.Pipe, TCP, Faulty) ─► the broker under test
//	                   └──◄─ answers, compared with the lines of the script or, with -rewrite, written there
//
// Only _test.go files import it. Each Client runs one goroutine, its readLoop, which ends when the connection does;
// Close waits for it, and the test's clean-up calls Close. A Store commits in a goroutine that ends by itself.
//
// The rule that must not break: nothing here waits without a deadline, and nothing here sleeps. In a testing/synctest
// bubble the deadlines cost no time.
package brokertest
