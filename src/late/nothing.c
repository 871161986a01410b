/* Of an object that has libraries and no code: libreftracer-elf.so, libreftracer-tables.so. */
extern const char rft_late_object[];
const char rft_late_object[] = "reftracer";
