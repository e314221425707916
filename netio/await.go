package netio

// Await waits until bytes, or the end, can be read, and reads nothing. It needs little stack, so that a goroutine that
// has done nothing else waits in the smallest one there is, and little else. Nothing else may use the link meanwhile. On
// other than plain sockets it returns at once.
func (l *Link) Await() error {
	if l.raw == nil {
		return nil
	}
	l.ops = nil
	err := l.raw.Read(readable)
	l.prepare()
	return err
}
