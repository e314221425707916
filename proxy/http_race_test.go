//go:build race

package proxy

const raceDetector = true // under it sync.Pool drops what it was given, now and then
