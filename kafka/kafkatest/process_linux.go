package kafkatest

import (
	"os/exec"
	"syscall"
)

// dieWithParent lets the kernel end the broker if the test process dies without its cleanups.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
