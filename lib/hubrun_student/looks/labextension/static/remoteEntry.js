// A banner while somebody looks at this server, and a notice of who looked since. Written by hand: JupyterLab loads it as
// it loads what a bundler makes (jupyterlab, staging/bootstrap.js), and it needs nothing of JupyterLab's own modules.
(() => {
  const SECONDS = 10;
  const config = JSON.parse(document.getElementById('jupyter-config-data')?.textContent || '{}');
  const clock = seconds => new Date(1000 * seconds).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  const day = seconds => new Date(1000 * seconds).toLocaleDateString();
  const mine = () => config.hubUser === config.hubServerUser;

  function banner() {
    const bar = document.createElement('div');
    bar.id = 'hubrun-looks';
    bar.setAttribute('role', 'status');
    bar.style.cssText =
      'position: fixed; bottom: 0; left: 0; right: 0; margin: auto; width: fit-content; max-width: 90vw; z-index: 10000; ' +
      'padding: 4px 16px; border-radius: 6px 6px 0 0; background: #8a3d00; color: #fff; font: 14px sans-serif; ' +
      'pointer-events: none;';
    bar.hidden = true;
    document.body.append(bar);
    return bar;
  }

  function notice(app, looks) {
    const key = `hubrun-looks ${config.hubServerUser}`;
    const seen = Number(localStorage.getItem(key) || 0);
    const over = looks.filter(look => !look.on && look.id > seen);
    for (const look of over) {
      const message = `${look.viewer}, who teaches you, looked at this server on ${day(look.began)}, ` +
        `${clock(look.began)} to ${clock(look.over)}.`;
      app.commands.execute('apputils:notify', { message, type: 'info', options: { autoClose: false } });
    }
    if (over.length) localStorage.setItem(key, Math.max(...over.map(look => look.id)));
  }

  function activate(app) {
    if (config.hubrunLooks !== 'on') return;
    const bar = banner();
    async function ask() {
      if (document.hidden) return;
      try {
        const answer = await fetch(`${config.baseUrl}hubrun-looks`, { credentials: 'same-origin' });
        if (!answer.ok) return;
        const { looks } = await answer.json();
        const on = looks.filter(look => look.on);
        const who = on.map(look => `${look.viewer} until ${clock(look.until)}`).join(', ');
        const text = `Somebody who teaches ${mine() ? 'you' : config.hubServerUser} looks at this server: ${who}`;
        if (on.length && bar.textContent !== text) bar.textContent = text;
        bar.hidden = !on.length;
        if (mine()) notice(app, looks);
      } catch {
        // the server is away: JupyterLab says so itself
      }
    }
    setInterval(ask, 1000 * SECONDS);
    document.addEventListener('visibilitychange', ask);
    app.restored.then(ask); // not awaited: it comes after all extensions are active
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB['hubrun-looks'] = {
    init: () => undefined,
    get: async () => () => ({ __esModule: true, default: [{ id: 'hubrun-looks:banner', autoStart: true, activate }] })
  };
})();
