package packets

// maxRemaining is the largest Remaining Length that four bytes can say (section 2.1.4).
const maxRemaining = 268_435_455

// MaxPacketSize is the length of the longest packet there is: first byte, four length bytes, the rest.
const MaxPacketSize = 5 + maxRemaining

// FrameLength says how long the packet at the start of buf is, its fixed header included, and whether buf holds all
// of it. n is 0 while too few bytes have come to tell. A packet longer than limit bytes (0: no limit) is refused with
// PacketTooLarge as soon as its header is there, before its body is read; a packet type or flags that no packet has
// are refused at the first byte [MQTT-2.1.3-1] [v3 MQTT-2.2.2-2]; those that only 3.1 has, by Decode. The error is always a *Error.
func FrameLength(buf []byte, limit int) (n int, complete bool, err error) {
	if len(buf) == 0 {
		return 0, false, nil
	}
	if !flagsValid(buf[0]) {
		return 0, false, &Error{MalformedPacket, "2.1.3", "reserved packet type or fixed header flags"}
	}
	remaining, used := varint(buf[1:])
	if used < 0 {
		return 0, false, &Error{MalformedPacket, "2.1.4", "Remaining Length is not the shortest form of at most four bytes"}
	}
	if used == 0 {
		return 0, false, nil
	}
	n = 1 + used + remaining
	if limit > 0 && n > limit {
		return n, false, &Error{PacketTooLarge, "3.1.2.11.4", "packet is longer than the limit"}
	}
	return n, len(buf) >= n, nil
}

// flagsValid holds the table of section 2.1.3: PUBLISH uses its flags (QoS 3 is none of them [MQTT-3.3.1-4]),
// PUBREL, SUBSCRIBE and UNSUBSCRIBE carry 0010, or in 3.1 1010 when they are sent again; all others 0000.
func flagsValid(first byte) bool {
	flags := first & 15
	switch Type(first >> 4) {
	case 0:
		return false
	case TypePublish:
		return flags&6 != 6
	case TypePubrel, TypeSubscribe, TypeUnsubscribe:
		return flags&^flagDup == 2
	}
	return flags == 0
}

const flagDup = 8

// varint reads a Variable Byte Integer. used is 0 if b ends too early and -1 if the integer has more than four
// bytes or more than it needs [MQTT-1.5.5-1].
func varint(b []byte) (value, used int) {
	for i := 0; i < 4; i++ {
		if i >= len(b) {
			return 0, 0
		}
		value |= int(b[i]&127) << (7 * i)
		if b[i] < 128 {
			if i > 0 && b[i] == 0 {
				return 0, -1
			}
			return value, i + 1
		}
	}
	return 0, -1
}

// appendVarint appends a Variable Byte Integer in its shortest form.
func appendVarint(dst []byte, n int) []byte {
	for n > 127 {
		dst = append(dst, byte(n)|128)
		n >>= 7
	}
	return append(dst, byte(n))
}

// varintLen is the number of bytes that appendVarint appends.
func varintLen(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	}
	return 4
}
