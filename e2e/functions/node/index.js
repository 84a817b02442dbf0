/**
 * The actions of the demo function, in JavaScript for aws-lambda-ric.
 *
 * Answers the events of runtime/demo-function in the same shape; what differs
 * is named in the answer (`fork` starts processes here, and says so in `kind`).
 */
'use strict';

const childProcess = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');

const TMP = '/tmp';
const MIB = 1024 * 1024;
const CONNECT_TIMEOUT_MS = 2000;
// Rounds between two looks at the clock.
const ROUNDS = 20000;

let count = 0;
const kept = [];

/** An error whose name becomes `errorType`. */
function failure(name, message) {
  const error = new Error(message);
  error.name = name;
  return error;
}

/** The event's argument, which must be there. */
function required(event, name) {
  if (event[name] === undefined) {
    throw failure('InvalidEvent', `action "${event.action}": missing field \`${name}\``);
  }
  return event[name];
}

/** The system's error number as a positive value, or null. */
function errnoOf(error) {
  return typeof error?.errno === 'number' ? Math.abs(error.errno) : null;
}

/** Computes until `done(cpuMs, wallMs)`; the handler's thread is the process's only busy one. */
function measured(done) {
  const wallStart = performance.now();
  const cpuStart = process.cpuUsage();
  for (;;) {
    const used = process.cpuUsage(cpuStart);
    const cpuMs = (used.user + used.system) / 1000;
    const wallMs = performance.now() - wallStart;
    if (done(cpuMs, wallMs)) {
      return { cpuMs, wallMs, share: wallMs > 0 ? cpuMs / wallMs : 0 };
    }
    for (let round = 0; round < ROUNDS; round++);
  }
}

function tmpPath(event) {
  const name = required(event, 'name');
  if (['', '.', '..'].includes(name) || name.includes('/')) {
    throw failure('InvalidEvent', `"${name}" is not a file name`);
  }
  return `${TMP}/${name}`;
}

function names(directory) {
  try {
    return fs.readdirSync(directory).sort();
  } catch {
    return [];
  }
}

function text(path) {
  try {
    return fs.readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function lines(path) {
  return (text(path) ?? '').split('\n').filter((line) => line !== '');
}

function fillTmp(event) {
  const wanted = required(event, 'mb');
  const block = crypto.randomBytes(MIB);
  let written = 0;
  let error = null;
  let file = null;
  try {
    file = fs.openSync(`${TMP}/fill`, 'w');
    for (let index = 0; index < wanted; index++) {
      block.writeUInt32LE(index, 0);
      let offset = 0;
      while (offset < MIB) {
        const accepted = fs.writeSync(file, block, offset);
        offset += accepted;
        written += accepted;
      }
    }
  } catch (caught) {
    error = caught;
  } finally {
    if (file !== null) {
      fs.closeSync(file);
    }
  }
  return { writtenBytes: written, errno: errnoOf(error), error: error?.message ?? null };
}

async function fork(event) {
  const wanted = required(event, 'count');
  const children = [];
  let errno = null;
  for (let index = 0; index < wanted; index++) {
    const child = childProcess.spawn('/usr/bin/sleep', ['600'], { stdio: 'ignore' });
    if (child.pid === undefined) {
      errno = await new Promise((resolve) => child.once('error', (error) => resolve(errnoOf(error))));
      break;
    }
    children.push(child);
  }
  const ended = children.map((child) => new Promise((resolve) => child.once('exit', resolve)));
  children.forEach((child) => child.kill('SIGKILL'));
  await Promise.all(ended);
  return { started: children.length, errno, kind: 'process' };
}

function openFiles(event) {
  const wanted = required(event, 'count');
  const descriptors = [];
  let errno = null;
  while (descriptors.length < wanted && errno === null) {
    try {
      descriptors.push(fs.openSync('/dev/null', 'r'));
    } catch (error) {
      errno = errnoOf(error);
    }
  }
  descriptors.forEach((descriptor) => fs.closeSync(descriptor));
  return { opened: descriptors.length, errno };
}

function connect(event) {
  const options = { host: required(event, 'host'), port: required(event, 'port') };
  return new Promise((resolve) => {
    const socket = net.connect({ ...options, timeout: CONNECT_TIMEOUT_MS });
    const finish = (answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => finish({ ok: true, errno: null, error: null }));
    socket.once('timeout', () => finish({ ok: false, errno: null, error: 'timed out' }));
    socket.once('error', (error) => {
      // The resolver's numbers are not the system's.
      const errno = error.syscall === 'connect' ? errnoOf(error) : null;
      finish({ ok: false, errno, error: error.message });
    });
  });
}

function rootWrite() {
  const probe = '/.lambent-probe';
  try {
    fs.closeSync(fs.openSync(probe, 'w'));
  } catch (error) {
    return { writable: false, errno: errnoOf(error) };
  }
  fs.unlinkSync(probe);
  return { writable: true, errno: null };
}

function descriptors() {
  const found = {};
  for (const name of names('/proc/self/fd')) {
    try {
      found[name] = fs.readlinkSync(`/proc/self/fd/${name}`);
    } catch (error) {
      // The descriptor that listed the directory is closed by now.
      if (error.code !== 'ENOENT') {
        throw error;
      }
    }
  }
  return found;
}

function descriptorLimit() {
  const line = lines('/proc/self/limits').find((entry) => entry.startsWith('Max open files')) ?? '';
  const limit = (value) => (value === 'unlimited' ? null : Number(value));
  const [soft, hard] = line.slice('Max open files'.length).trim().split(/\s+/);
  return { soft: limit(soft), hard: limit(hard) };
}

function tmpStatus() {
  try {
    const status = fs.statSync(TMP);
    const mode = (status.mode & 0o7777).toString(8).padStart(4, '0');
    return { mode, uid: status.uid, gid: status.gid };
  } catch {
    return null;
  }
}

function inspect() {
  const status = Object.fromEntries(
    lines('/proc/self/status').map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }),
  );
  const rights = ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp'];
  return {
    uid: process.getuid(),
    gid: process.getgid(),
    groups: process.getgroups(),
    cwd: process.cwd(),
    umask: status.Umask ?? null,
    status: Object.fromEntries(rights.map((name) => [name, status[name] ?? null])),
    nofile: descriptorLimit(),
    rootWrite: rootWrite(),
    devShm: fs.existsSync('/dev/shm'),
    dev: names('/dev'),
    fds: descriptors(),
    hostname: os.hostname(),
    resolvConf: text('/etc/resolv.conf'),
    mounts: lines('/proc/self/mountinfo'),
    tmp: tmpStatus(),
    pids: names('/proc').filter((name) => /^\d+$/.test(name)).map(Number),
    interfaces: lines('/proc/net/dev')
      .filter((line) => line.includes(':'))
      .map((line) => line.split(':')[0].trim()),
  };
}

async function sequence(event) {
  const results = [];
  for (const inner of required(event, 'events')) {
    if (inner?.action === 'sequence') {
      throw failure('InvalidEvent', 'a sequence cannot contain a sequence');
    }
    const result = await perform(inner);
    if (event.log) {
      process.stdout.write(`${JSON.stringify(result)}\n`);
    }
    results.push(result);
  }
  return results;
}

const actions = {
  echo: (event) => ({ event }),
  counter: () => ({ count: ++count }),
  burn: (event) => {
    const wanted = required(event, 'cpuMs');
    return measured((cpuMs) => cpuMs >= wanted);
  },
  spinFor: (event) => {
    const wanted = required(event, 'wallMs');
    return measured((_cpuMs, wallMs) => wallMs >= wanted);
  },
  allocate: (event) => {
    const mb = required(event, 'mb');
    const keep = event.keep ?? false;
    let memory;
    try {
      memory = Buffer.alloc(mb * MIB, 0xa5);
    } catch (error) {
      throw failure('AllocationFailed', `${mb} MiB: ${error.message}`);
    }
    if (keep) {
      kept.push(memory);
    }
    return { allocatedBytes: memory.length, kept: keep };
  },
  sleep: async (event) => {
    const ms = required(event, 'ms');
    await new Promise((resolve) => setTimeout(resolve, ms));
    return { sleptMs: ms };
  },
  fillTmp,
  writeTmp: (event) => {
    const path = tmpPath(event);
    const data = Buffer.from(required(event, 'text'));
    try {
      fs.writeFileSync(path, data);
    } catch (error) {
      return { writtenBytes: 0, errno: errnoOf(error) };
    }
    return { writtenBytes: data.length, errno: null };
  },
  readTmp: (event) => {
    try {
      return { text: fs.readFileSync(tmpPath(event), 'utf8'), errno: null };
    } catch (error) {
      if (errnoOf(error) === null) {
        throw error;
      }
      return { text: null, errno: errnoOf(error) };
    }
  },
  listTmp: () => ({ names: names(TMP) }),
  raise: (event) => {
    throw failure('DemoError', required(event, 'message'));
  },
  // Not process.exit, which aws-lambda-ric replaces to report a Runtime.NodejsExit.
  exit: (event) => process.reallyExit(required(event, 'code')),
  crash: () => process.abort(),
  log: (event) => {
    const entries = required(event, 'lines');
    const stream = event.stderr ? process.stderr : process.stdout;
    entries.forEach((line) => stream.write(`${line}\n`));
    return { lines: entries.length };
  },
  fork,
  open: openFiles,
  connect,
  env: () => ({ ...process.env }),
  inspect,
  sequence,
};

/** Performs one action. */
async function perform(event) {
  const name = event?.action ?? '';
  if (!Object.hasOwn(actions, name)) {
    const known = Object.keys(actions).join(', ');
    throw failure('UnknownAction', `unknown action "${name}": expected one of ${known}`);
  }
  return actions[name](event);
}

exports.handler = perform;
