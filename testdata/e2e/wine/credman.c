// Looks at the Credential Manager as another program of the user would, or takes
// it away from all of them: credman list | deny
// It fails with 2, since 1 is what Wine itself fails with.
#include <stdio.h>
#include <string.h>
#include <windows.h>
#include <wincred.h>

static int list(void) {
	DWORD count;
	CREDENTIALW **all;
	if (!CredEnumerateW(NULL, 0, &count, &all))
		return GetLastError() == ERROR_NOT_FOUND ? 0 : 2;
	for (DWORD i = 0; i < count; i++)
		printf("%ls\t%.*s\n", all[i]->TargetName, (int)all[i]->CredentialBlobSize, (char *)all[i]->CredentialBlob);
	return 0;
}

// Wine answers as Windows does in a logon without credentials where nobody may
// open its registry key.
static int deny(void) {
	HKEY key;
	ACL nobody;
	SECURITY_DESCRIPTOR access;
	BOOL done = !RegCreateKeyW(HKEY_CURRENT_USER, L"Software\\Wine\\Credential Manager", &key)
		&& InitializeAcl(&nobody, sizeof nobody, ACL_REVISION)
		&& InitializeSecurityDescriptor(&access, SECURITY_DESCRIPTOR_REVISION)
		&& SetSecurityDescriptorDacl(&access, TRUE, &nobody, FALSE)
		&& !RegSetKeySecurity(key, DACL_SECURITY_INFORMATION, &access);
	return done ? 0 : 2;
}

int main(int argc, char **argv) {
	return argc == 2 && !strcmp(argv[1], "deny") ? deny() : list();
}
