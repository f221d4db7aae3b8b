// flights._table.flight.get.post_process (nodejs): the carrier's name and the speed beside every flight.
const rows = event.response.content.resource || [];
const codes = [...new Set(rows.map((row) => row.carrier).filter(Boolean))];
if (codes.length) {
  platform.api.get(`flights/_table/carrier?ids=${codes.join(',')}`, '', (body) => {
    const names = Object.fromEntries(JSON.parse(body).resource.map((row) => [row.carrier, row.name]));
    for (const row of rows) {
      row.carrier_name = names[row.carrier];
      row.miles_per_hour = row.air_time ? Math.round(row.distance / (row.air_time / 60)) : null;
    }
  });
}
