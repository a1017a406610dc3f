// Writes what sparkplug-payload 1.0.3 makes of messages: node npm.cjs NAME > npm_NAME.bin
// Without a name, all of them: {"NAME": "base64", ...}
const { get } = require("sparkplug-payload");
const at = 1786000000000;
const messages = {
  // Datatypes on every metric, no metric timestamps, bdSeq as UInt64, an alias of 0.
  birth: { timestamp: at, seq: 0, metrics: [
    {name:"bdSeq", value:0, type:"UInt64"},
    {name:"i8", value:-1, type:"Int8"},{name:"i32", value:-12, type:"Int32"},{name:"i64", value:-5, type:"Int64"},
    {name:"u32", value:4000000000, type:"UInt32"},{name:"f", value:1.5, type:"Float", alias: 0},{name:"d", value:1.25, type:"Double", isHistorical:true},
    {name:"b", value:true, type:"Boolean"},{name:"s", value:"hi", type:"String", properties:{engUnit:{type:"String", value:"C"}, Quality:{type:"Int32", value:192}}},
    {name:"by", value:Buffer.from([0,255]), type:"Bytes"},{name:"n", value:null, type:"Double"},
    {name:"dt", value:1786000000000, type:"DateTime"},
    {name:"ds", type:"DataSet", value:{numOfColumns:2, types:["String","Int32"], columns:["a","b"], rows:[["x",1],["y",-2]]}},
    {name:"t", type:"Template", value:{templateRef:"T", isDefinition:false, version:"1", metrics:[{name:"m",value:3,type:"Int32"}], parameters:[{name:"p",type:"String",value:"q"}]}},
  ] },
  // By alias, without names; the library writes a datatype on every metric, and UInt32 into long_value.
  ndata: { timestamp: at, seq: 255, metrics: [
    { alias: 0, value: 21.5, type: "Double", timestamp: at },
    { alias: 1, value: -40, type: "Int8", timestamp: at },
    { alias: 2, value: -30000, type: "Int16", timestamp: at, isHistorical: true },
    { alias: 3, value: 4294967295, type: "UInt32", timestamp: at, isTransient: true },
    { alias: 4, value: null, type: "String", timestamp: at },
    { alias: 5, value: false, type: "Boolean", timestamp: at },
  ] },
  // Definitions, one in the other, and an instance with a parameter.
  templates: { timestamp: at, seq: 0, metrics: [
    { name: "bdSeq", value: 3, type: "UInt64" },
    { name: "Bearing", type: "Template", value: { isDefinition: true, version: "1",
      metrics: [{ name: "t", value: 0, type: "Float" }], parameters: [] } },
    { name: "Motor", type: "Template", value: { isDefinition: true, version: "1",
      metrics: [{ name: "rpm", value: 0, type: "Int32" },
        { name: "bearing", type: "Template", value: { isDefinition: false, templateRef: "Bearing", metrics: [{ name: "t", value: 0, type: "Float" }] } }],
      parameters: [{ name: "poles", type: "UInt8", value: 4 }, { name: "maker", type: "String", value: "" }] } },
    { name: "M1", type: "Template", value: { isDefinition: false, templateRef: "Motor", version: "1",
      metrics: [{ name: "rpm", value: 1480, type: "Int32" },
        { name: "bearing", type: "Template", value: { isDefinition: false, templateRef: "Bearing", metrics: [{ name: "t", value: 40.5, type: "Float" }] } }],
      parameters: [{ name: "maker", type: "String", value: "ACME" }] } },
  ] },
  // Data sets with every kind of column that the library can write; properties in properties.
  structures: { timestamp: at, seq: 7, metrics: [
    { name: "table", type: "DataSet", value: { numOfColumns: 6, types: ["Int32", "Double", "Boolean", "String", "UInt16", "Float"],
      columns: ["a", "b", "c", "d", "e", "f"], rows: [[-1, 1.5, true, "x", 65535, 0.25], [2, -2.5, false, "", 0, -1]] } },
    { name: "empty", type: "DataSet", value: { numOfColumns: 1, types: ["Text"], columns: ["note"], rows: [] } },
    { name: "tagged", type: "Int32", value: 5, properties: {
      engUnit: { type: "String", value: "°C" }, Quality: { type: "Int32", value: 500 }, low: { type: "Double", value: -1.5 },
      alarm: { type: "PropertySet", value: { high: { type: "Float", value: 90 }, armed: { type: "Boolean", value: true } } },
      steps: { type: "PropertySetList", value: [{ n: { type: "UInt32", value: 1 } }, { n: { type: "UInt32", value: 2 } }] } } },
    { name: "file", type: "File", value: Buffer.from("part"), metadata: { isMultiPart: true, contentType: "text/plain", size: 8, seq: 0,
      fileName: "a.txt", fileType: "txt", md5: "00", description: "half" } },
  ] },
  ndeath: { timestamp: at, metrics: [{ name: "bdSeq", value: 255, type: "UInt64" }] },
  ncmd: { timestamp: at, metrics: [{ name: "Node Control/Rebirth", value: true, type: "Boolean" }] },
};
const encode = (name) => Buffer.from(get("spBv1.0").encodePayload(messages[name]));
if (process.argv[2]) {
  process.stdout.write(encode(process.argv[2]));
} else {
  const all = {};
  for (const name of Object.keys(messages)) all[name] = encode(name).toString("base64");
  process.stdout.write(JSON.stringify(all));
}
