// What the page says when something is wrong, and the pause that keeps it responsive.

const problems = {
  NotAllowedError: "The browser was not allowed to use the camera or microphone. Allow it in the address bar and try again, or join without.",
  NotFoundError: "No camera or microphone was found. Join with audio only, or with the test picture.",
  NotReadableError: "The camera or microphone is in use by another program. Close that, and try again.",
  OverconstrainedError: "The chosen camera or microphone is gone. Choose another.",
};

// Why a session is over: said while the page joins again, and when that has failed.
export const ENDS = {
  lost: ["The server has lost the call."],
  ended: ["The server has ended the call."],
  stopping: ["The server is restarting.", "The server was stopped."],
  failed: ["The connection was lost."],
  blocked: ["The server cannot be reached: a firewall may block media over UDP and TCP."],
};

export function explain(error) {
  return problems[error.name] ?? error.message ?? String(error);
}

// Why the server has refused to let the page in.
export function refusal(status, why) {
  const advice = status === 401 || status === 403 ? " Ask whoever invited you for a new link, and paste it below." : "";
  return `The server refused: ${why}.${advice}`;
}

export function missing(shown, { missing: codec, instead }) {
  const other = instead.length ? ` They could send ${instead.join(" or ")} instead.` : "";
  return `${shown.name} sends ${codec}, which this browser cannot play.${other}`;
}

// Ends the running task, so that the browser can draw and take input before the next one.
export function pause() {
  return globalThis.scheduler?.yield?.() ?? new Promise((resolve) => { setTimeout(resolve); });
}
