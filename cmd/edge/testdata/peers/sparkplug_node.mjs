// An edge node made with Eclipse Tahu's sparkplug-client, driven by lines of JSON.
//
//   node sparkplug_node.mjs
//   {"do":"connect","url":"mqtt://127.0.0.1:1883","group":"G","node":"N","metrics":[…],"devices":{"D":[…]}}
//   {"do":"data","metrics":[…]}  {"do":"data","device":"D","metrics":[…],"compress":true}
//   {"do":"device_birth","device":"D"}  {"do":"device_death","device":"D"}
//   {"do":"kill"}  {"do":"revive"}  {"do":"stop"}
//
// A metric is {"name","type","value"} and what else sparkplug-payload knows: alias, timestamp, isHistorical, isNull, properties.
// Events: connect, birth (published: births of node and devices), rebirth (asked for; a birth follows), ncmd, dcmd, close, error, stopped.
import sparkplug from "sparkplug-client";
import { obey, say } from "./lines.mjs";

let client;
let metrics = [];
let devices = {};

const rebirthName = "Node Control/Rebirth";

// stamped is a copy with time stamps: the library changes the payload it is given.
function stamped(list) {
  const now = Date.now();
  return structuredClone(list).map((m) => ({ timestamp: now, ...m }));
}

function payload(list) {
  return { timestamp: Date.now(), metrics: stamped(list) };
}

// remember makes the next birth declare the values of this data.
function remember(declared, list) {
  for (const m of list) {
    const old = declared.find((d) => (m.name ? d.name === m.name : d.alias === m.alias));
    if (old && !m.isHistorical) old.value = m.value;
  }
}

function birth() {
  client.publishNodeBirth(payload([{ name: rebirthName, type: "Boolean", value: false }, ...metrics]));
  for (const device of Object.keys(devices)) client.publishDeviceBirth(device, payload(devices[device]));
  say("birth");
}

function connect(c) {
  metrics = c.metrics ?? [];
  devices = c.devices ?? {};
  client = sparkplug.newClient({
    serverUrl: c.url,
    username: c.user ?? "peer",
    password: c.password ?? "peer",
    groupId: c.group,
    edgeNode: c.node,
    clientId: c.client_id ?? `peer-${c.node}`,
    publishDeath: true,
    keepalive: c.keepalive ?? 30,
    mqttOptions: { reconnectPeriod: 500 },
  });
  client.on("connect", () => say("connect"));
  client.on("birth", birth);
  client.on("close", () => say("close"));
  client.on("error", (err) => say("error", { message: String(err.message ?? err) }));
  client.on("ncmd", (p) => {
    say("ncmd", { metrics: p.metrics });
    if (p.metrics?.some((m) => m.name === rebirthName && m.value === true)) {
      say("rebirth");
      birth();
    }
  });
  client.on("dcmd", (device, p) => say("dcmd", { device, metrics: p.metrics }));
}

obey({
  connect,
  data(c) {
    remember(c.device ? devices[c.device] : metrics, c.metrics);
    if (c.device) client.publishDeviceData(c.device, payload(c.metrics), { compress: c.compress ?? false });
    else client.publishNodeData(payload(c.metrics), { compress: c.compress ?? false });
  },
  device_birth: (c) => client.publishDeviceBirth(c.device, payload(devices[c.device])),
  device_death: (c) => client.publishDeviceDeath(c.device, payload([])),
  // kill cuts the socket without DISCONNECT, so that the broker publishes the Will.
  kill() {
    client.client.options.reconnectPeriod = 0;
    client.client.stream.destroy();
  },
  revive() {
    client.client.options.reconnectPeriod = 500;
    client.client.reconnect();
  },
  stop() {
    client.client.once("end", () => say("stopped"));
    client.stop();
  },
});
