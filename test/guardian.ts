import { type ChildProcess, spawn } from "node:child_process";
import type { Writable } from "node:stream";

/**
 * Reads `+PID` and `-PID`. When nobody can write to it any more, which is when the process that started it has ended
 * in whatever way, it kills what is left. Killed by its own pid, each; a pid that was taken off may be anybody's by now.
 */
const script = `
trap '' INT TERM HUP
alive=' '
while read -r word; do
  pid=\${word#?}
  case $word in
    +*) alive="$alive$pid " ;;
    -*) case $alive in *" $pid "*) alive="\${alive%% $pid *} \${alive#* $pid }" ;; esac ;;
  esac
done
for pid in $alive; do kill -9 "$pid" 2>/dev/null; done
`;

let orders: Writable | undefined;

/**
 * The child ends when this process does, even by a SIGKILL that leaves it no time for teardowns: the test runner sends
 * one to a test that takes too long.
 */
export function endWithMe(child: ChildProcess): void {
  const { pid } = child;
  if (pid === undefined) return;
  const guardian = orders ?? start();
  guardian.write(`+${pid}\n`);
  child.once("exit", () => guardian.write(`-${pid}\n`));
}

function start(): Writable {
  // In a session of its own, or it would be killed with the group it is to outlive.
  const child = spawn("sh", ["-c", script], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  child.unref();
  child.on("error", () => {});
  const stdin = child.stdin as Writable & { unref(): void };
  stdin.on("error", () => {});
  stdin.unref();
  orders = stdin;
  return stdin;
}
