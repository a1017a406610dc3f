// Package kit drives edge nodes, hosts and brokers through the situations that the Sparkplug specification speaks of, and
// says of each assertion whether it holds, is broken, or was not seen.
//
//	Node, Host ─► tap ─► broker       RunNode, RunHost: what the subject sends and gets, packet by packet
//	   ▲                   ▲
//	   └──── scenario ─────┴──── the kit's own clients: host, plant, observer
//
//	broker ◄─ the kit's own clients   RunBroker
//
// The subject is anybody's: a few functions start it, stop it and change its values. Where it is a program that runs
// elsewhere, flags say so (see external_test.go):
//
//	go test ./sparkplug/observe/kit -run External -kit.broker host:port -kit.aware
//	go test ./sparkplug/observe/kit -run External -kit.node group/node/device -kit.listen :18830 -kit.broker host:port
//	go test ./sparkplug/observe/kit -run External -kit.host id -kit.listen :18830 -kit.broker host:port
//
// The last two need -timeout 0 -v, and end with an interrupt; what they do not see is what nobody made the subject do.
//
// A verdict takes part in the table of sparkplug/testdata/proof.tsv by Report.Committed: what a run finds must equal the
// committed column of its subject. -kit.rewrite renews the columns.
//
// Only _test.go files import it. Goroutines are those of observe.Tap and brokertest.Client; every run waits for them.
// The rule that must not break: verdicts are the same in every run. What depends on who is faster is not judged.
//
// Sources: Sparkplug 3.0 (ISO/IEC 20237), chapters 4 to 6 and 10.
package kit
