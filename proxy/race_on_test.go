//go:build race

package proxy

// raceDetector tells tests that everything takes several times as long.
const raceDetector = true
