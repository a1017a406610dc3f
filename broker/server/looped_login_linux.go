package server

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"edge/broker/packets"
)

// enterNow carries out a login that does not have to wait; others get a goroutine. An error is a CONNECT that is none.
func (w *looped) enterNow(frame []byte) error {
	p, err := w.decodeConnect(frame)
	if err != nil {
		return err
	}
	w.connectCame(p, len(frame))
	if p.AuthMethod != "" {
		w.converse(w.beginLogin(p))
		return nil
	}
	again := *p // enter may change it
	err = w.enter(context.Background(), &again, mustGoOn)
	w.entered(err, func() error { return w.enter(context.Background(), p, mayWait) })
	return nil
}

// converse carries on a login that names an authentication method.
func (w *looped) converse(more *packets.Auth, err error) {
	if err == nil && more != nil {
		w.sendPacket(more)
		return
	}
	if err == nil {
		err = w.connectEnhanced(context.Background(), mustGoOn)
	}
	w.entered(err, func() error { return w.connectEnhanced(context.Background(), mayWait) })
}

// entered ends a login as err says, or has it done again by a goroutine, which may wait.
func (w *looped) entered(err error, again func() error) {
	switch {
	case err == nil:
		w.stage = live
		w.welcome()
	case errors.Is(err, errMustWait):
		w.stage = waiting
		w.watch(func(e uint32) uint32 { return e &^ unix.EPOLLIN })
		w.again = again
	default:
		w.conn.refuse(err)
		w.leaveUnknown()
	}
}

// startLogin carries the login out on a goroutine of its own, which tells the loop how it went.
func (w *looped) startLogin() {
	enter := w.again
	w.again = nil
	go func() {
		d := delivering{server: w.server}
		w.deliver = &d
		err := enter()
		if err == nil {
			w.welcome()
		} else {
			w.conn.refuse(err)
		}
		d.turn.flush()
		if err == nil {
			w.post(postEntered)
		} else {
			w.post(postRefused)
		}
	}()
}
