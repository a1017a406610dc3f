// Package packets turns bytes into MQTT control packets and back, for 3.1, 3.1.1 and 5.0.
//
//	buffer ─► FrameLength ─► Decode ─► Packet ─► Append ─► buffer
//	                                   Message ─► Share ─► Shared.Append, once per subscriber
//
// It is pure: no goroutine, socket, file or clock. A reader keeps one buffer per connection, asks
// FrameLength how long the packet at its start is (and whether that is too long) before more of it
// is read, and hands the whole frame to Decode. What a decoder allocates follows the bytes that have
// arrived, never a length that a client claims.
//
// Decode is strict: a packet it returns obeys every rule that can be judged from that packet alone.
// Rules that need more (who sent it, session state, announced limits) are the caller's. The rule that
// must not break: no input makes it panic, and encoding what was decoded gives an equal packet.
//
// Sources: MQTT 3.1 (IBM, 2010) and 3.1.1 and 5.0, chapters 1.5, 2 and 3.
package packets
