// What Go needs of bcryptprimitives.dll, which Wine 8 lacks.
#include <stddef.h>

__declspec(dllimport) unsigned char __stdcall SystemFunction036(void *, unsigned long); // RtlGenRandom
__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *data, size_t size) { return SystemFunction036(data, (unsigned long)size); }
