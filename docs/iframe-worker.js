// A browser starts no worker from a file, and the search of the site is one: where the site was opened by double click,
// a hidden frame runs the worker's script instead.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(script) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      this.frame = frame;
      this.ready = new Promise((resolve) => {
        frame.onload = () => {
          const inside = frame.contentWindow;
          inside.postMessage = (data) => this.answer(data);
          const tag = inside.document.createElement("script");
          tag.src = new URL(script, location);
          tag.onload = resolve;
          tag.onerror = () => this.onerror?.(new ErrorEvent("error"));
          inside.document.body.append(tag);
        };
      });
      document.body.append(frame);
    }

    answer(data) {
      const event = new MessageEvent("message", { data });
      this.onmessage?.(event);
      this.dispatchEvent(event);
    }

    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
