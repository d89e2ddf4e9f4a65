// Says so where the page's own scripts do not load, which then cannot say it themselves.
addEventListener("error", e => {
  if (!(e.target instanceof HTMLScriptElement)) return;
  document.getElementById("status").textContent = location.protocol === "file:" ?
    "The playground does not work from a folder. Serve it with any web server." :
    "The playground could not be loaded. Reload the page to try again.";
}, true);
