new EventSource('/events').onmessage = async () => {
  const text = await (await fetch('/')).text();
  const fresh = new DOMParser().parseFromString(text, 'text/html').querySelector('main');
  document.querySelector('main').innerHTML = fresh.innerHTML;
};
