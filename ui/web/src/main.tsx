// The page: header with the age of the data, and one view at a time.
//
// Attributes that tests and scripts may rely on:
//
//   html[data-fresh]                     starting, live, late (3 s silent), dead (10 s silent), paused
//   [data-view]                          the view that is open: overview, tags, uplinks, clients, events, node
//   [data-node="group/node"][data-state] a node's tile: online, offline, unknown
//   [data-device="group/node/device"][data-state]
//   [data-row], [data-metric="id"], [data-value="id"]      rows of the tag tree
//   [data-trend="edge|scada"][data-gaps][data-points]      a trend, the gaps and points drawn in it
//   [data-window="10|60|480|1440"]       buttons of the trend's window, in minutes
//   [data-uplink="name"][data-state][data-owed], [data-uplink-node="group/node"][data-state]
//   [data-outage="id"][data-owed][data-delivered][data-gaps][data-done="true|false"]
//   [data-client="id"][data-connected][data-slow]          a line of the clients
//   [data-space="ok|warn|drop|low|full"], [data-host="id"][data-state], [data-warning]   the appliance itself
//   [data-event="kind"]                  a line of the event log
//   [data-plant="group/node"][data-state], [data-scada="group/node"][data-state]   the demo's two columns
//   [data-action="kill|revive"][data-target="group/node"], [data-action="cut|restore"], [data-action="rebirth"],
//   [data-action="confirm"], [data-action="pause"], [data-action="table"]
//   [data-message="done|refused"]        what came of the last command

import { render } from "preact";
import { AppliancePanel } from "./appliance";
import { Board, NodeView } from "./board";
import { ClientView } from "./clients";
import { DemoPanel } from "./demo";
import { ConfirmDialog } from "./dialog";
import { EventPanel, EventView } from "./events";
import { FirewallView } from "./firewall";
import * as f from "./format";
import { startStream } from "./stream";
import { demoMode, freshness, lastHeard, message, paused, serverNow, silence, version, view } from "./store";
import { TagsView } from "./tags";
import { TrendPanel } from "./trend";
import { UplinkPanel, UplinkView } from "./uplinks";

function App() {
  return (
    <>
      <a class="skip" href="#main">
        Skip to content
      </a>
      <Header />
      <Banner />
      <main id="main" tabIndex={-1}>
        <Views />
      </main>
      <ConfirmDialog />
    </>
  );
}

function Header() {
  const tab = (name: string, href: string, word: string) => (
    <a href={href} aria-current={view.value.name === name ? "page" : undefined}>
      {word}
    </a>
  );
  return (
    <header class="top">
      <span class="mark">
        <svg viewBox="0 0 20 20" aria-hidden="true">
          <path d="M2 4h7v3H5v2h4v2H5v2h4v3H2z" />
          <path d="M11 10h3l2-4 2 8" class="pulse" />
        </svg>
        edge <span class="dim">{version.value}</span>
      </span>
      <nav aria-label="views">
        {tab("overview", "#/", "Overview")}
        {tab("tags", "#/tags", "Tags")}
        {tab("uplinks", "#/uplinks", "Uplinks")}
        {tab("clients", "#/clients", "Clients")}
        {tab("firewall", "#/firewall", "Firewall")}
        {tab("events", "#/events", "Events")}
      </nav>
      <Message />
      {demoMode.value && <span class="note demo-note">simulated plant</span>}
      <Age />
      <button type="button" class="quiet" data-action="pause" aria-pressed={paused.value} onClick={() => (paused.value = !paused.value)}>
        {paused.value ? "Resume" : "Pause"}
      </button>
    </header>
  );
}

// What came of a command: in the header, where it moves nothing; a refusal in full over the page.
function Message() {
  const m = message.value;
  return (
    <span class={m ? `message${m.refused ? " refused" : ""}` : "message"} role="status" aria-live="polite" data-message={m ? (m.refused ? "refused" : "done") : ""}>
      <span>{m?.text}</span>
      {m?.refused && (
        <button type="button" class="quiet" onClick={() => (message.value = null)}>
          Dismiss
        </button>
      )}
    </span>
  );
}

const freshWords = { starting: "connecting", live: "live", late: "late", dead: "no data", paused: "paused" };

function Age() {
  const fresh = freshness.value;
  return (
    <span class={`age fresh-${fresh}`}>
      <svg viewBox="0 0 16 16" aria-hidden="true">
        {fresh === "live" ? <circle cx="8" cy="8" r="4.5" /> : <path d="M8 1.5 15 14H1z" />}
      </svg>
      {freshWords[fresh]} <time class="dim">{f.clock(new Date(serverNow.value).toISOString(), serverNow.value)}</time>
    </span>
  );
}

// Says when the page is not live.
function Banner() {
  const fresh = freshness.value;
  let text = "";
  if (fresh === "late") text = "No data from the appliance for a moment: what you see may be old.";
  if (fresh === "dead") text = "No data from the appliance: values below are old, commands are switched off. Trying to reconnect.";
  if (fresh === "paused") text = `Paused at ${f.clock(new Date(lastHeard.value).toISOString())}: values below do not change.`;
  return (
    <div class={text ? `banner fresh-${fresh}` : "hidden"} role="status" aria-live="polite" data-banner={fresh}>
      {text}
      {fresh === "dead" || fresh === "late" ? <span aria-hidden="true"> {f.duration(silence.value)} old.</span> : null}
    </div>
  );
}

function Views() {
  const v = view.value;
  switch (v.name) {
    case "tags":
      return <TagsView />;
    case "uplinks":
      return <UplinkView />;
    case "clients":
      return <ClientView />;
    case "firewall":
      return <FirewallView />;
    case "events":
      return <EventView />;
    case "node":
      return <NodeView group={v.group} node={v.node} />;
    default:
      return <Overview />;
  }
}

function Overview() {
  return (
    <div class="overview" data-view="overview">
      <div class="left">
        <Board />
        <DemoPanel />
        <div class={demoMode.value ? "trends two" : "trends"}>
          <TrendPanel source="edge" title={demoMode.value ? "Plant" : "Trend"} />
          {demoMode.value && <TrendPanel source="scada" title="SCADA" control={false} />}
        </div>
      </div>
      <div class="side">
        <UplinkPanel />
        <AppliancePanel />
        <EventPanel rows={100} />
      </div>
    </div>
  );
}

startStream();
render(<App />, document.getElementById("app")!);
