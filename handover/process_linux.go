package handover

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// firstFile is the descriptor of exec.Cmd's first extra file.
const firstFile = 3

// Start starts p with a link to this process.
func Start(p Program) (*Successor, error) {
	link, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = inherited(firstFile)
	if err := cmd.Start(); err != nil {
		link.Close()
		return nil, fmt.Errorf("handover: starting the successor: %w", err)
	}
	s := &Successor{Link: link, Process: cmd.Process, exited: make(chan struct{})}
	go func() {
		s.err = cmd.Wait()
		close(s.exited)
	}()
	return s, nil
}

// Predecessor is the link to the process that this one is to take over from; nil when nobody asked it to. The variable is gone
// afterwards: what this process starts is nobody's successor.
func Predecessor() (*Link, error) {
	text, ok := os.LookupEnv(Environment)
	if !ok {
		return nil, nil
	}
	os.Unsetenv(Environment) //nolint:errcheck // it cannot fail with a name as good as this
	fd, err := strconv.Atoi(text)
	if err != nil || fd < firstFile {
		return nil, fmt.Errorf("handover: %s=%s is no file descriptor", Environment, text)
	}
	syscall.CloseOnExec(fd)
	l, err := newLink(fd)
	if err != nil {
		return nil, err
	}
	cred, err := l.peer()
	switch {
	case err != nil:
		err = fmt.Errorf("handover: who is at the other end: %w", err)
	case int(cred.Uid) != os.Getuid() || int(cred.Pid) != os.Getppid():
		err = fmt.Errorf("handover: the other end is process %d of user %d, not the one that started this", cred.Pid, cred.Uid)
	default:
		return l, nil
	}
	l.Close()
	return nil, err
}
