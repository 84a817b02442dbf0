//! Extensions that subscribe to events by hand, and what they have got.

use serde_json::Value;

/// What follows [`crate::extension::EXTENSION`] in an extension that subscribes. It
/// notes what it has got only at the end: a note is an event, too.
pub const SUBSCRIBER: &str = r#"
import http.server, socket
got = []
def subscribe(identifier, body, path="/2022-07-01/telemetry"):
    headers = {"Lambda-Extension-Identifier": identifier} if identifier else {}
    c.request("PUT", path, body if isinstance(body, str) else json.dumps(body), headers)
    r = c.getresponse()
    return [r.status, json.loads(r.read())]
def listen_http(port, status=200):
    class Receiver(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def receive(self):
            events = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            got.append({"how": f"{self.command} {self.path} {self.headers['Host']}", "events": events})
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
        do_POST = do_PUT = receive
        def log_message(self, *_): pass
    s = http.server.ThreadingHTTPServer(("sandbox.localdomain", port), Receiver)
    threading.Thread(target=s.serve_forever, daemon=True).start()
def listen_tcp(port):
    s = socket.create_server(("", port))
    def receive():
        while True:
            connection, _ = s.accept()
            for line in connection.makefile("rb"):
                got.append({"how": "TCP", "events": [json.loads(line)]})
    threading.Thread(target=receive, daemon=True).start()
def http_to(port, **more):
    return {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{port}/events", **more}
def wanted(destination, types=("platform", "function"), schema="2022-12-13", **buffering):
    return {"schemaVersion": schema, "types": list(types), "destination": destination,
            "buffering": {"timeoutMs": 25, **buffering}}
def live(identifier, without=()):
    "Takes events until the last, and notes what it has got, without these types."
    while event(identifier)["eventType"] != "SHUTDOWN": pass
    for batch in got:
        batch["events"] = [e for e in batch["events"] if e["type"] not in without]
    note("got", batches=got)
    sys.exit(0)
"#;

/// What an extension has noted at its end, for each of its lives: all events, in the
/// order of their arrival.
pub fn received(notes: &[Value], who: &str) -> Vec<Vec<Value>> {
    notes
        .iter()
        .filter(|note| note["who"] == who && note["what"] == "got")
        .map(|note| {
            let batches = note["batches"].as_array();
            let events = batches.into_iter().flatten().map(|batch| &batch["events"]);
            events
                .filter_map(Value::as_array)
                .flatten()
                .cloned()
                .collect()
        })
        .collect()
}

/// The types of events.
pub fn types(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap_or_default())
        .collect()
}
