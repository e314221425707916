//go:build !linux

package bench

// keepTime does nothing: operations start as the runtime's timers have it.
func keepTime() (stop func()) { return func() {} }
