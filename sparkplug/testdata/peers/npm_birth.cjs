// Wrote npm_birth.bin with sparkplug-payload 1.0.3: node npm_birth.cjs > npm_birth.bin
const sp = require('sparkplug-payload').get("spBv1.0");
const p = {timestamp: 1786000000000, seq: 0, metrics: [
 {name:"bdSeq", value:0, type:"UInt64"},
 {name:"i8", value:-1, type:"Int8"},{name:"i32", value:-12, type:"Int32"},{name:"i64", value:-5, type:"Int64"},
 {name:"u32", value:4000000000, type:"UInt32"},{name:"f", value:1.5, type:"Float", alias: 0},{name:"d", value:1.25, type:"Double", isHistorical:true},
 {name:"b", value:true, type:"Boolean"},{name:"s", value:"hi", type:"String", properties:{engUnit:{type:"String", value:"C"}, Quality:{type:"Int32", value:192}}},
 {name:"by", value:Buffer.from([0,255]), type:"Bytes"},{name:"n", value:null, type:"Double"},
 {name:"dt", value:1786000000000, type:"DateTime"},
 {name:"ds", type:"DataSet", value:{numOfColumns:2, types:["String","Int32"], columns:["a","b"], rows:[["x",1],["y",-2]]}},
 {name:"t", type:"Template", value:{templateRef:"T", isDefinition:false, version:"1", metrics:[{name:"m",value:3,type:"Int32"}], parameters:[{name:"p",type:"String",value:"q"}]}},
]};
process.stdout.write(Buffer.from(sp.encodePayload(p)));
