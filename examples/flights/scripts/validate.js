// flights._table.flight.post.pre_process (v8js): a flight needs a known carrier and a plausible delay.
var known = platform.api.get('flights/_table/carrier?fields=carrier').content.resource.map(function (row) {
  return row.carrier;
});
event.request.payload.resource.forEach(function (flight, index) {
  if (known.indexOf(flight.carrier) < 0) {
    throw {status_code: 422, code: 4201, message: 'flight ' + index + ': there is no carrier ' + flight.carrier};
  }
  if (flight.dep_delay !== null && Math.abs(flight.dep_delay) > 2000) {
    throw {status_code: 422, code: 4202, message: 'flight ' + index + ': a delay of ' + flight.dep_delay + ' minutes'};
  }
});
