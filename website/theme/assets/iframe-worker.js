// A page opened from disk may not start a worker. There the search runs in a hidden frame, with the same messages.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const source = new URL(url, document.baseURI).href
      this.waiting = []
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      this.frame.srcdoc = "<!doctype html><meta charset='utf-8'>"
      this.frame.onload = () => this.start(source)
      document.addEventListener("DOMContentLoaded", () => document.body.append(this.frame))
      if (document.body) document.body.append(this.frame)
    }

    start(source) {
      const { contentWindow, contentDocument } = this.frame
      contentWindow.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }))
      const script = contentDocument.createElement("script")
      script.src = source
      script.onload = () => {
        const waiting = this.waiting
        this.waiting = null
        waiting.forEach(data => this.postMessage(data))
      }
      contentDocument.body.append(script)
    }

    postMessage(data) {
      if (this.waiting) this.waiting.push(data)
      else this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }))
    }

    terminate() {
      this.frame.remove()
    }
  }
}
