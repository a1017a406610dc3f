// An MQTT client made with mqtt.js, driven by lines of JSON.
//
//   node mqttjs.mjs
//   {"do":"connect","url":"mqtt://127.0.0.1:1883","version":5,"client_id":"c1","clean":true,"session_expiry":60,"keepalive":30,
//    "will":{"topic":"t","payload":"gone","qos":1,"retain":true},"user":"u","password":"p","ca":"file"}
//   {"do":"sub","topic":"a/#","qos":2}  {"do":"unsub","topic":"a/#"}
//   {"do":"pub","topic":"a/b","payload":"hi","qos":1,"retain":false,"properties":{…}}
//   {"do":"kill"}  {"do":"end"}
//
// version is 4 (3.1.1) or 5. Events: connect {session_present, reason}, message {topic, payload, qos, retain, dup, properties},
// subscribed {granted}, unsubscribed, published {reason}, disconnect {reason}, close, error, ended.
import fs from "node:fs";
import mqtt from "mqtt";
import { obey, say } from "./lines.mjs";

let client;

function connect(c) {
  const version = c.version ?? 4;
  client = mqtt.connect(c.url, {
    protocolVersion: version,
    protocolId: "MQTT",
    clientId: c.client_id,
    clean: c.clean ?? true,
    keepalive: c.keepalive ?? 30,
    reconnectPeriod: 0,
    connectTimeout: 5000,
    ca: c.ca && fs.readFileSync(c.ca),
    username: c.user,
    password: c.password,
    will: c.will && { topic: c.will.topic, payload: Buffer.from(c.will.payload ?? ""), qos: c.will.qos ?? 0, retain: c.will.retain ?? false },
    properties: version === 5 && c.session_expiry ? { sessionExpiryInterval: c.session_expiry } : undefined,
  });
  client.on("connect", (ack) => say("connect", { session_present: ack.sessionPresent, reason: ack.reasonCode ?? ack.returnCode, properties: ack.properties }));
  client.on("message", (topic, payload, packet) =>
    say("message", { topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain, dup: packet.dup, properties: packet.properties }));
  client.on("disconnect", (packet) => say("disconnect", { reason: packet.reasonCode }));
  client.on("close", () => say("close"));
  client.on("error", (err) => say("error", { message: String(err.message ?? err), code: err.code }));
}

obey({
  connect,
  async sub(c) {
    const granted = await client.subscribeAsync(c.topic, { qos: c.qos ?? 0 });
    say("subscribed", { granted: granted.map((g) => g.qos) });
  },
  async unsub(c) {
    await client.unsubscribeAsync(c.topic);
    say("unsubscribed", { topic: c.topic });
  },
  // pub is done when the acknowledgement that its QoS asks for has come; published says so.
  async pub(c) {
    const ack = await client.publishAsync(c.topic, c.payload ?? "", { qos: c.qos ?? 0, retain: c.retain ?? false, properties: c.properties });
    say("published", { topic: c.topic, reason: ack?.reasonCode });
  },
  kill: () => client.stream.destroy(),
  async end() {
    await client.endAsync();
    say("ended");
  },
});
